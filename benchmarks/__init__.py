"""What the worker costs against a loop without any promise; README.md says how it is measured."""
