"""The endpoints of the server, one module for each: what they are asked, and what they answer in the API's shape.

Each gets the `Service`, which holds what they share, and knows nothing of the others. `exchange` is how they read and write.
"""
