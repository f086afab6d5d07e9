// What a run does once so many steps are done. Functions of configuration and step alone, so that a
// resumed run evaluates and saves where an uninterrupted one does.
#pragma once

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// Every eval_interval steps, or at the first step that brings the sequences seen to a multiple of
// validation_interval; and before the first step.
bool evaluation_due(const RunConfig& config, int64_t step);
// Of `last`: with every evaluation, or by save_interval in the same way.
bool save_due(const RunConfig& config, int64_t step);
// Of a checkpoint that keeps its number.
bool numbered_due(const RunConfig& config, int64_t step);

}  // namespace fathom
