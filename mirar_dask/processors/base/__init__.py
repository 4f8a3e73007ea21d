"""The base classes of all processors, one idea a module; import them from `base_processor`."""
