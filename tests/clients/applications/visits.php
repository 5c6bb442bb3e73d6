<?php
// SPDX-License-Identifier: MIT
// An application of two pages, behind PHP's own server: its sessions are kept as the php.ini of docs/session-store.md says.

session_start();
if ($_SERVER['SCRIPT_NAME'] == '/logout' || strtok($_SERVER['REQUEST_URI'], '?') == '/logout') {
    session_destroy();
    echo 'out';
} else {
    $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
    echo $_SESSION['visits'];
}
