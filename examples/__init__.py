"""Small programs that show jobd at work."""
