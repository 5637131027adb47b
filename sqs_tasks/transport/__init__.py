"""How requests reach AWS: the lean client, boto3's clients, and requests of ten whose failed entries are sent again."""
