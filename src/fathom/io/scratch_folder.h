// A folder for what another program or another part of this one reads and writes; gone with the
// object.
#pragma once

#include <string>

namespace fathom {

class ScratchFolder {
 public:
  // fathom-PURPOSE-XXXXXX in the folder that TMPDIR names, else in /tmp. Throws Error where none
  // can be made.
  explicit ScratchFolder(const std::string& purpose);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fathom
