"""Tools that several test layers share. A module here is named for what it stands in for, and imports no test."""
