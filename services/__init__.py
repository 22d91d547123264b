"""The services of Tidegate: proxy, CDC service, invalidator, and the standalone stack that starts all three."""
