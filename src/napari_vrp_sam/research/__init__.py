"""The paper's experiments and the making of `lite`; the plugin never imports this package."""
