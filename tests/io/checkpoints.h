// Small checkpoints for tests: real safetensors and a state.json that tells the step.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/io/safetensors.h"
#include "io/temp_folder.h"

namespace fathom::testing {

inline const std::vector<std::string> kCheckpointFiles = {"manifest.json", "model.safetensors",
                                                          "optimizer.safetensors", "state.json"};

inline std::string state_text(int64_t step) {
  return "{\n \"config\": {\"step\": 999999},\n \"step\": " + std::to_string(step) + "\n}\n";
}

// `floats` of a model, and twice as many of its optimiser, that depend on the step.
inline void fill_checkpoint(const std::string& folder, int64_t step, size_t floats) {
  std::vector<float> values(2 * floats);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(step) + 1.0f / (1 + i);
  const auto bytes = reinterpret_cast<const std::byte*>(values.data());
  const auto n = static_cast<int64_t>(floats);
  write_safetensors(folder + "/model.safetensors", {{"w", Dtype::F32, {n}, {bytes, 4 * floats}}});
  write_safetensors(folder + "/optimizer.safetensors",
                    {{"w.m", Dtype::F32, {n}, {bytes, 4 * floats}},
                     {"w.v", Dtype::F32, {n}, {bytes + 4 * floats, 4 * floats}}});
  write_file_durably(folder + "/state.json", as_bytes(state_text(step)));
}

inline void save_small(const std::string& folder, int64_t step, size_t floats = 64) {
  CheckpointWriter writer(folder);
  fill_checkpoint(writer.path(), step, floats);
  writer.commit();
}

// Changes one bit in place.
inline void flip_bit(const std::string& path, uint64_t bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(static_cast<char>(byte ^ (1 << bit % 8)));
}

}  // namespace fathom::testing
