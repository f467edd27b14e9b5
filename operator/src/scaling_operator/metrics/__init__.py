"""What Prometheus sees of an operator. The only importer of prometheus_client.

Families are declared once (`families`). What happens is counted by verbs (`happenings`); what is so
is read at the moment of a scrape from the stored status (`projection`), so that it survives a
restart and goes away with its experiment.
"""
