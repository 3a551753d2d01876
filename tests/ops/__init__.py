"""The alerts, the dashboard and the page that says what to do: that they speak of what the hub measures."""
