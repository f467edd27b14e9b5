"""All that asks or tells Optuna: studies, samplers, pruners, importances, the dashboard.

No other package imports optuna.
"""
