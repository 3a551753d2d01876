"""The pages, asked over HTTP as a browser, a load balancer or Prometheus would."""
