"""What a run measured: read from its products' headers and tables, written as tables."""
