// The tiny GPT-2 that tests/golden/hugging_face/make.py wrote, and copies of it to be changed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fathom/io/safetensors.h"
#include "io/temp_folder.h"
#include "source_path.h"

namespace fathom::testing {

inline std::string golden_model() {
  return source_path("tests/golden/hugging_face");
}

inline nlohmann::json json_file(const std::string& path) {
  return nlohmann::json::parse(slurp(path));
}

// Whether two files have the same bytes; says where they part, never what is in them.
inline ::testing::AssertionResult same_bytes(const std::string& path_a, const std::string& path_b) {
  namespace fs = std::filesystem;
  for (const std::string& path : {path_a, path_b})
    if (!fs::is_regular_file(path))
      return ::testing::AssertionFailure() << "there is no file " << path;
  const std::string a = slurp(path_a), b = slurp(path_b);
  if (a == b) return ::testing::AssertionSuccess();
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  return ::testing::AssertionFailure() << path_a << " (" << a.size() << " bytes) and " << path_b
                                       << " (" << b.size() << ") differ from byte " << at << " on";
}

// A copy in `folder` without what tells how it was made.
inline std::string copy_of_golden_model(const std::string& folder) {
  namespace fs = std::filesystem;
  fs::create_directories(folder);
  for (const char* file :
       {"config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt"})
    fs::copy_file(golden_model() + "/" + file, folder + "/" + file);
  return folder;
}

inline void change_json(const std::string& path,
                        const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json j = json_file(path);
  change(j);
  spill(path, j.dump());
}

// A tensor whose bytes the test owns.
struct OwnedTensor {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

inline std::vector<OwnedTensor> tensors_in(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<OwnedTensor> tensors;
  for (const TensorInfo& info : file.tensors()) {
    const Span<const std::byte> bytes = file.bytes(info);
    tensors.push_back({info.name,
                       info.dtype,
                       info.shape,
                       {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
  }
  return tensors;
}

// The metadata is what files in Hugging Face's layout have; checkpoints have none.
inline void write_tensors(const std::string& path, const std::vector<OwnedTensor>& tensors,
                          const TensorMetadata& metadata = {{"format", "pt"}}) {
  std::vector<TensorView> views;
  for (const OwnedTensor& t : tensors)
    views.push_back({t.name, t.dtype, t.shape, as_bytes(t.bytes)});
  write_safetensors(path, views, metadata);
}

inline void change_tensors(const std::string& folder,
                           const std::function<void(std::vector<OwnedTensor>&)>& change) {
  const std::string path = folder + "/model.safetensors";
  std::vector<OwnedTensor> tensors = tensors_in(path);
  change(tensors);
  write_tensors(path, tensors);
}

inline OwnedTensor& tensor_named(std::vector<OwnedTensor>& tensors, const std::string& name) {
  for (OwnedTensor& t : tensors)
    if (t.name == name) return t;
  throw std::runtime_error("no tensor " + name);
}

}  // namespace fathom::testing
