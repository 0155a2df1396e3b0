"""Groups that other servers serve behind this one: APIServices, availability, the way there."""
