"""Mail evidence in, sightings out."""
