// What a run does once so much is done. Functions of configuration and progress alone, so that a
// resumed run evaluates and saves where an uninterrupted one does.
#pragma once

#include "fathom/train/recipe/progress.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// Every eval_interval steps, or at the first step that brings the samples begun to a multiple of
// validation_interval; and before the first step.
bool evaluation_due(const RunConfig& config, int64_t step, const Progress& progress);
// Of `last`: with every evaluation, or by save_interval in the same way.
bool save_due(const RunConfig& config, int64_t step, const Progress& progress);
// Of a checkpoint that keeps its number.
bool numbered_due(const RunConfig& config, int64_t step);
// Of a step's numbers, on the console and in the run store: the first step's too.
bool log_due(int64_t log_interval, int64_t step);
// Of a sample, before the update that makes `step` + 1 steps of it: every sample_interval steps.
// The notebook's: at step 1, wherever `step` modulo the interval is what 50 is, and at `steps` - 1
// (0 steps: it is not known how many there will be).
bool sample_due(const TrainingConfig& config, int64_t step, int64_t steps);
// Of a sample after the last update; the notebook has none.
bool last_sample_due(const TrainingConfig& config);

}  // namespace fathom
