"""The web app: plain HTML, CSS and ES modules without a build step."""
