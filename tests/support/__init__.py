"""What the tests share: real servers, waiting for a condition, tools a test may need."""
