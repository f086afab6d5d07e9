// manifest.json of a checkpoint (checkpoint_folder.h): its files with sizes and checksums, and a
// checksum of itself, so that no byte of the folder can change unseen.
//
//   {
//     "format_version": 1,
//     "files": [
//       {"name": "model.safetensors", "size": 2048, "xxh3": "0123456789abcdef"},
//       {"name": "state.json", "size": 512, "xxh3": "fedcba9876543210"}
//     ],
//     "checksum": "<XXH3 of all bytes above this line>"
//   }
//
// It is JSON for whoever wants to read it, but there is one text for one list of files, and only
// that is accepted: no other order, spacing, number format or key, hence none that appears twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/span.h"

namespace fathom {

inline constexpr char kManifestName[] = "manifest.json";
inline constexpr uint64_t kMaxManifestBytes = 1 << 20;
inline constexpr size_t kMaxManifestFiles = 1000;

struct ManifestFile {
  std::string name;   // is_plain_file_name()
  int64_t size = 0;   // bytes
  uint64_t xxh3 = 0;  // of the content
};

// 1 to 255 letters, digits, `_`, `-` and `.`, the first not a `.`: never a path, nothing to escape.
bool is_plain_file_name(std::string_view name);

// `files` sorted by name, at least one, with plain names.
std::string manifest_text(const std::vector<ManifestFile>& files);

// The list that manifest_text() wrote; sorted, plain names, without duplicates. `text` may hold
// anything; memory is proportional to it. Throws what refuse_checkpoint() throws.
std::vector<ManifestFile> parse_manifest(Span<const std::byte> text, const std::string& folder);

// Throws Error "<folder> is incomplete: <why>", or `damaged`, with the hint to take another one.
[[noreturn]] void refuse_checkpoint(const std::string& folder, std::string_view verdict,
                                    const std::string& why);

}  // namespace fathom
