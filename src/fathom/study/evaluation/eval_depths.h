// One model at several depths, or by several policies, on the same batches.
#pragma once

#include <functional>
#include <memory>

#include "fathom/data/in_batches.h"
#include "fathom/report/report.h"
#include "fathom/study/asked/eval_job.h"
#include "fathom/study/chosen_model.h"

namespace fathom {

// The split at a shift (AheadConfig::shift), on the same windows whatever it is.
using DepthData = std::function<std::shared_ptr<const FirstInBatches>(int64_t shift)>;

// What `--loops` and `--evaluations` ask for, over the first `batches` batches of `data`: a row for
// the model as it was trained, each count and each evaluation, with paired differences.
report::Report eval_depths(const EvalJob& request, const LoadedModel& loaded,
                           const std::string& corpus, const DepthData& data, int64_t batches,
                           at::Device device);

}  // namespace fathom
