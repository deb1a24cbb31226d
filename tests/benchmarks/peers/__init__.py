"""The same work that costs nothing, for other programs that farm out jobs: each as its own documentation recommends."""
