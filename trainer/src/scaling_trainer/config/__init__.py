"""What the built-in trainer can be told: the whole of `trainer.builtIn`.

The operator embeds these models in its API, so `scaling validate` and the CRD know every path,
bound and metric. A searched parameter's name is literally a path below `builtIn`:
`builtin.with_parameters` lays the values of one trial over the configuration. pydantic is all this
package may import.
"""
