"""Lists of names, one a line, from Faker (MIT); made by benchmarks/gazetteer.py."""
