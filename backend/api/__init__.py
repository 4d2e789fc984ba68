"""HTTP: a router per audience over the services, strict bodies, problems for errors."""
