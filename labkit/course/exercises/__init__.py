"""An exercise in three parts: inputs, a run, a judgement."""
