"""Functions of an arch as tables over genes: costs and accuracy predictors."""
