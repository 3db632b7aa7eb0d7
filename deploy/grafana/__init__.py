"""The Grafana dashboards, built with Grafana's Foundation SDK; `python -m deploy.grafana` writes them."""
