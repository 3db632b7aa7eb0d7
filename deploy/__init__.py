"""What runs beside the exporter, and how it is deployed."""
