"""The webhook authorizer: somebody outside is asked with a SubjectAccessReview who may do what."""
