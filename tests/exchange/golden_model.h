// The tiny GPT-2 that tests/golden/hugging_face/make.py wrote, and copies of it to be changed.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fathom/io/safetensors.h"
#include "io/temp_folder.h"

namespace fathom::testing {

inline std::string golden_model() {
  return FATHOM_SOURCE_DIR "/tests/golden/hugging_face";
}

inline nlohmann::json json_file(const std::string& path) {
  return nlohmann::json::parse(slurp(path));
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

inline void write_tensors(const std::string& path, const std::vector<OwnedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const OwnedTensor& t : tensors)
    views.push_back({t.name, t.dtype, t.shape, as_bytes(t.bytes)});
  write_safetensors(path, views, {{"format", "pt"}});
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
