"""Answers to exercise 4.2, a fitted predictor: `RIGHT` must pass, `WRONG` must not."""

import numpy as np
import torch


def rms(values):
    return float(np.sqrt(np.mean(np.asarray(values) ** 2)))


def fitted(features, link, strength, penalized=None):
    """The constant and the weights, of normal equations in which `penalized` are the columns."""
    rows = np.column_stack([np.ones(len(features)), features])
    penalty = np.diag(np.r_[0.0, np.ones(features.shape[1])] if penalized is None else penalized)
    return np.linalg.solve(rows.T @ rows + strength * penalty, rows.T @ link)


def predictor(solution):
    return lambda rows: 100 - np.exp(-solution[0] - rows @ solution[1:])


def fit_normal_equations(features, accuracy, held_out, strength):
    link = -np.log(100 - accuracy)
    predict = predictor(fitted(features[~held_out], link[~held_out], strength))
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_centered(features, accuracy, held_out, strength):
    x, link = features[held_out == 0], -np.log(100 - accuracy[held_out == 0])
    middle, level = x.mean(0), link.mean()
    x = x - middle
    weights = np.linalg.inv(x.T @ x + strength * np.eye(x.shape[1])) @ x.T @ (link - level)

    def predict(rows):
        return 100 - np.exp(-(level + (rows - middle) @ weights))

    return [predict, rms((predict(features) - accuracy)[held_out])]


def fit_least_squares(features, accuracy, held_out, strength):
    x, link = features[~held_out], -np.log(100 - accuracy[~held_out])
    rows = np.vstack([x, np.sqrt(strength) * np.eye(x.shape[1])])
    rows = np.column_stack([np.r_[np.ones(len(x)), np.zeros(x.shape[1])], rows])
    solution = np.linalg.lstsq(rows, np.r_[link, np.zeros(x.shape[1])], rcond=None)[0]
    predict = predictor(solution)
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


class FittedByTorch:
    """An object that can be called, of tensors and with one row at a time."""

    def __init__(self, features, accuracy, strength):
        x = torch.from_numpy(features)
        self.middle, self.level = x.mean(0), -torch.log(100 - torch.from_numpy(accuracy)).mean()
        x = x - self.middle
        link = -torch.log(100 - torch.from_numpy(accuracy)) - self.level
        gram = x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype)
        self.weights = torch.linalg.solve(gram, x.T @ link)

    def __call__(self, rows):
        rows = torch.from_numpy(rows) - self.middle
        return [100 - float(torch.exp(-self.level - row @ self.weights)) for row in rows]


def fit_torch(features, accuracy, held_out, strength):
    predict = FittedByTorch(features[~held_out], accuracy[~held_out], strength)
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_all_pairs(features, accuracy, held_out, strength):
    predict = predictor(fitted(features, -np.log(100 - accuracy), strength))
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_held_out(features, accuracy, held_out, strength):
    """The other way round: fitted to the held-out pairs, judged on the others."""
    return fit_normal_equations(features, accuracy, ~held_out, strength)


def fit_judged_where_fitted(features, accuracy, held_out, strength):
    predict, _ = fit_normal_equations(features, accuracy, held_out, strength)
    return predict, rms((predict(features) - accuracy)[~held_out])


def fit_judged_on_all(features, accuracy, held_out, strength):
    predict, _ = fit_normal_equations(features, accuracy, held_out, strength)
    return predict, rms(predict(features) - accuracy)


def fit_penalized_constant(features, accuracy, held_out, strength):
    ones = np.ones(features.shape[1] + 1)
    link = -np.log(100 - accuracy)
    predict = predictor(fitted(features[~held_out], link[~held_out], strength, ones))
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_without_constant(features, accuracy, held_out, strength):
    x, link = features[~held_out], -np.log(100 - accuracy[~held_out])
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ link)
    predict = predictor(np.r_[0, weights])
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_without_penalty(features, accuracy, held_out, strength):
    x = np.column_stack([np.ones(len(features)), features])
    link = -np.log(100 - accuracy)
    predict = predictor(np.linalg.lstsq(x[~held_out], link[~held_out], rcond=None)[0])
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_mean_of_squares(features, accuracy, held_out, strength):
    """The mean of the squared differences instead of their sum."""
    return fit_normal_equations(features, accuracy, held_out, strength * (~held_out).sum())


def fit_strength_squared(features, accuracy, held_out, strength):
    return fit_normal_equations(features, accuracy, held_out, strength**2)


def fit_scaled_features(features, accuracy, held_out, strength):
    scale = features[~held_out].std(0)
    predict, error = fit_normal_equations(features / scale, accuracy, held_out, strength)
    return lambda rows: predict(rows / scale), error


def fit_first_feature_free(features, accuracy, held_out, strength):
    penalized = np.r_[0, 0, np.ones(features.shape[1] - 1)]
    link = -np.log(100 - accuracy)
    predict = predictor(fitted(features[~held_out], link[~held_out], strength, penalized))
    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_accuracy_itself(features, accuracy, held_out, strength):
    solution = fitted(features[~held_out], accuracy[~held_out], strength)

    def predict(rows):
        return solution[0] + rows @ solution[1:]

    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_log_of_accuracy(features, accuracy, held_out, strength):
    solution = fitted(features[~held_out], np.log(accuracy[~held_out]), strength)

    def predict(rows):
        return np.exp(solution[0] + rows @ solution[1:])

    return predict, rms(predict(features[held_out]) - accuracy[held_out])


def fit_shares(features, accuracy, held_out, strength):
    predict, error = fit_normal_equations(features, accuracy, held_out, strength)
    return lambda rows: predict(rows) / 100, error / 100


def fit_predicts_links(features, accuracy, held_out, strength):
    link = -np.log(100 - accuracy)
    solution = fitted(features[~held_out], link[~held_out], strength)
    predict = predictor(solution)
    error = rms(predict(features[held_out]) - accuracy[held_out])
    return lambda rows: solution[0] + rows @ solution[1:], error


def fit_error_of_links(features, accuracy, held_out, strength):
    predict, _ = fit_normal_equations(features, accuracy, held_out, strength)
    links = -np.log(100 - predict(features[held_out])) + np.log(100 - accuracy[held_out])
    return predict, rms(links)


def fit_absolute_error(features, accuracy, held_out, strength):
    predict, _ = fit_normal_equations(features, accuracy, held_out, strength)
    return predict, np.abs(predict(features[held_out]) - accuracy[held_out]).mean()


def fit_squared_error(features, accuracy, held_out, strength):
    predict, error = fit_normal_equations(features, accuracy, held_out, strength)
    return predict, error**2


def fit_deviation_of_errors(features, accuracy, held_out, strength):
    """The standard deviation, which does not count what is wrong on average."""
    predict, _ = fit_normal_equations(features, accuracy, held_out, strength)
    return predict, np.std(predict(features[held_out]) - accuracy[held_out])


def fit_returns_predictions(features, accuracy, held_out, strength):
    predict, error = fit_normal_equations(features, accuracy, held_out, strength)
    return predict(features[held_out]), error


def fit_predictor_only(features, accuracy, held_out, strength):
    return fit_normal_equations(features, accuracy, held_out, strength)[0]


def fit_ten_features(features, accuracy, held_out, strength):
    predict, error = fit_normal_equations(features[:, :10], accuracy, held_out, strength)
    return lambda rows: predict(rows[:, :10]), error


def fit_forty_pairs(features, accuracy, held_out, strength):
    return fit_normal_equations(features[:36], accuracy[:36], held_out[:36], strength)


def fit_centers_in_place(features, accuracy, held_out, strength):
    """Subtracts the mean of the fitted rows from the features that came."""
    middle = features[~held_out].mean(0)
    features -= middle
    predict, error = fit_normal_equations(features, accuracy, held_out, strength)
    return lambda rows: predict(rows - middle), error


def fit_inverts_the_mask(features, accuracy, held_out, strength):
    np.logical_not(held_out, out=held_out)
    return fit_normal_equations(features, accuracy, ~held_out, strength)


RIGHT = {"4.2": [fit_normal_equations, fit_centered, fit_least_squares, fit_torch]}
WRONG = {
    "4.2": [
        fit_all_pairs,
        fit_held_out,
        fit_judged_where_fitted,
        fit_judged_on_all,
        fit_penalized_constant,
        fit_without_constant,
        fit_without_penalty,
        fit_mean_of_squares,
        fit_strength_squared,
        fit_scaled_features,
        fit_first_feature_free,
        fit_accuracy_itself,
        fit_log_of_accuracy,
        fit_shares,
        fit_predicts_links,
        fit_error_of_links,
        fit_absolute_error,
        fit_squared_error,
        fit_deviation_of_errors,
        fit_returns_predictions,
        fit_predictor_only,
        fit_ten_features,
        fit_forty_pairs,
        fit_centers_in_place,
        fit_inverts_the_mask,
    ]
}
