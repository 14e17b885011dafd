"""The disk: state folder, manifest, parts, names, merge. Owns every file of an export."""
