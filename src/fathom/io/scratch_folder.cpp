#include "fathom/io/scratch_folder.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Not std::filesystem's temp_directory_path(), which does not say what it has looked at.
std::string temporary_root() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr && *set != '\0' ? set : "/tmp";
}

}  // namespace

ScratchFolder::ScratchFolder(const std::string& purpose) {
  const std::string root = temporary_root();
  std::string path = fmt::format("{}/fathom-{}-XXXXXX", root, purpose);
  if (mkdtemp(path.data()) == nullptr)
    fail(fmt::format("no folder can be made in {}: {}", root, std::strerror(errno)),
         "set TMPDIR to a folder that you may write to");
  path_ = path;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace fathom
