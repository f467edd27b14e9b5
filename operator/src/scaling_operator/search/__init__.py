"""Optuna as this project uses it: studies, the grid, points and importances.

Nobody else imports optuna.
"""
