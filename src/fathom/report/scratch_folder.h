// A folder for what another program reads and writes; gone with the object.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "fathom/base/error.h"

namespace fathom::report {

class ScratchFolder {
 public:
  // Throws Error where none can be made.
  ScratchFolder() {
    std::string path = std::filesystem::temp_directory_path() / "fathom-plot-XXXXXX";
    if (mkdtemp(path.data()) == nullptr)
      fail("no folder can be made in " + path, "set TMPDIR to a folder that you may write to");
    path_ = path;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fathom::report
