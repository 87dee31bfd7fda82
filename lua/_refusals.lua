-- Why the server refused a write: for scripts that append events.
local INFRASTRUCTURE = {'OOM ', 'MISCONF ', 'NOREPLICAS ', 'READONLY ', 'MASTERDOWN '}

-- Return whether an error is the server's, and not one of what was written.
local function server_fault(reason)
  for _, code in ipairs(INFRASTRUCTURE) do
    if reason:find(code, 1, true) then return true end
  end
end
