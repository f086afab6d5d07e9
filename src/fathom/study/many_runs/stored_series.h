// What a run's store has of it, whatever program began it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/track/run_store.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// Nothing: it cannot be read any more.
std::optional<RunConfig> config_of(const RunRecord& record);

// The values of that name, or else of the number that its loop group had before groups were named
// by their layers (spec/loop_metric_names.h). Empty: there are none.
std::vector<Point> series_of(const RunStore& store, const RunRecord& record,
                             const std::string& metric);

}  // namespace fathom
