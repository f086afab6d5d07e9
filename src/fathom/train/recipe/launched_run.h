// What a launcher makes of a request: ranks that it starts anew go on with the run that they made,
// and with no other.
#pragma once

#include <optional>
#include <string>

#include "fathom/parallel/launch.h"
#include "fathom/train/recipe/run_request.h"

namespace fathom {

// In a run's folder, of the launch that made the run or its last step: "srun 4711". Not there: its
// launcher had no name for it, or there was none.
inline constexpr char kLaunchFile[] = "launch.txt";

// Writes it, or removes another one's. Throws Error.
void record_launch(const std::string& run_folder, const Launch& launch);

// A run that this launch made and that its launcher starts anew goes on from its last checkpoint:
// options as if that had been asked for. Where launches have no names, torchrun's goes on with what
// is no older than itself. `first_goes_on`: rank 0 has decided it. Throws Error(kUsage) for what no
// launcher could go on with, for ranks that are to start ranks, and for more of them than the
// machine carries.
void settle_launch(const Launch& launch, TrainOptions& options,
                   std::optional<bool> first_goes_on = {});

}  // namespace fathom
