"""References from what users give: label images, drawings and files."""
