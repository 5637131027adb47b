"""A plan as a template of CloudFormation, AWS SAM or Terraform."""
