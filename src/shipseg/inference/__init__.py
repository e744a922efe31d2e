"""From images to ships: predictors, folders of pictures, export."""
