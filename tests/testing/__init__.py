"""jobd.testing and the pytest plugin, as a user's tests meet them."""
