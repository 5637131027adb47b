"""How requests reach AWS: boto3's clients, and requests of ten whose failed entries are sent again."""
