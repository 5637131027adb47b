"""A plan as a template of CloudFormation or AWS SAM."""
