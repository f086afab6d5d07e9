// Whether this machine can hold what is asked for: a lower bound that is certain, so that a model
// that can never fit is refused in a sentence before anything is allocated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/machine/machine.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// Bytes that will be in memory at once, at the least.
struct LeastMemory {
  double weights = 0;  // with gradients and moments where they are trained
  double pass = 0;     // ids of a forward pass's sequences, and the stream and queries of one block
  double total() const { return weights + pass; }
};
LeastMemory least_memory(const RunConfig& config, int64_t vocab_size, bool training);

// Throws Error(kUsage), with the key to lower, if the machine (its limits included) has less. Says
// nothing where the work is done on another device, or the machine does not say what it has.
void require_memory(const RunConfig& config, int64_t vocab_size, bool training,
                    const FileReader& read = read_system_file);
// The same for `bytes` that a request needs beside the model; `what` and `lower` go into the error:
// "4,096 texts of 1,000,000 tokens", "num_samples or max_new_tokens".
void require_memory(const RunConfig& config, int64_t vocab_size, double bytes,
                    const std::string& what, const std::string& lower,
                    const FileReader& read = read_system_file);

// Of a training step with the run's own optimiser.
MemoryEstimate estimated_memory(const RunConfig& config, int64_t vocab_size);

// Of training on this machine's processors that is not refused, but whose estimate is more than
// there is, in the stage that needs most: a sentence with both.
std::optional<std::string> memory_note(const std::vector<StageRun>& stages, int64_t vocab_size,
                                       const FileReader& read = read_system_file);

}  // namespace fathom
