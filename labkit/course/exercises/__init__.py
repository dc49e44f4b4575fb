"""What an exercise is, how an answer to it is tried, and what judges assert about the result.

exercise      the type: inputs, run, judge; and the verdict on an answer
plain_values  the values that cross from the student's process to the judge's, also as JSON text
trial         call an answer on the inputs of a seed, and judge what it returned
smallest_failure  inputs as small as can be for which an answer is wrong
judging       what judges share: arrays against a reference, frequencies against a law
"""
