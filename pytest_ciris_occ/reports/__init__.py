"""What a person sees: consumers of one typed event stream."""
