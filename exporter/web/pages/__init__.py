"""The pages for people. They are loaded when the first is opened, and cost nothing before."""
