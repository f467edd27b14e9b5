"""The report: trials and status in, one HTML file that opens without a network out."""
