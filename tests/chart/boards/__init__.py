"""The Grafana dashboards as code; `python -m boards.generate` writes them into the chart."""
